-- Removes the ratings up to a sequence from the live data of a user, as LiveUser::drop_included does. live/codec.rs describes
-- the layout.
--
-- KEYS: the live data of the user. ARGV: milliseconds and count of the sequence.
-- Returns the number of removed ratings, or -1 if the live data are malformed.

local RATING, HEAD = 19, 16
local value = redis.call('GET', KEYS[1])
if not value then return 0 end
if string.byte(value, 1) ~= 1 or #value < HEAD + 1 then return -1 end
local forgotten_time, forgotten_count, ratings = struct.unpack('<I6I4I4', value, 2)
local kinds_at = HEAD + RATING * ratings
if #value < kinds_at + 1 then return -1 end
if forgotten_time ~= 0 or forgotten_count ~= 0 then return 0 end

local last_time, last_count = tonumber(ARGV[1]), tonumber(ARGV[2])
local kept = {}
for index = 0, ratings - 1 do
  local at = HEAD + RATING * index
  local time, count = struct.unpack('<I6I4', value, at + 9)
  if time > last_time or time == last_time and count > last_count then
    kept[#kept + 1] = string.sub(value, at, at + RATING - 1)
  end
end
local dropped = ratings - #kept
if dropped == 0 then return 0 end
local rest = string.sub(value, kinds_at)
if #kept == 0 and rest == '\0\0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1],
    string.sub(value, 1, HEAD - 5) .. struct.pack('<I4', #kept) .. table.concat(kept) .. rest)
end
return dropped
