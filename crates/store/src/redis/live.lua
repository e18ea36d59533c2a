-- Accepts one write of live data: checks its idempotency key and its order, appends it to the stream of the partition, and
-- changes the live data of the user as LiveUser::apply does. live/codec.rs describes the layout.
--
-- KEYS: the stream, the live data of the user, the forgotten users, the idempotency key (if the write has one).
-- ARGV: action, movie, half stars, value of the event (4 bytes), time, time of the stored rating or empty, digest, limit of
-- ratings, limit of events, lifetime of idempotency keys in milliseconds, user, type of the event; then the fields of the
-- entry in the stream.
-- Replies {"ok" or "repeated", sequence, applied}, {"reused"}, {"limit"} or {"malformed", fault}.

local RATING, EVENT, HEAD = 19, 36, 16
local action, movie, half_stars = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time, stored, digest = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local kind = ARGV[12]
local unpack_numbers, pack_numbers, sub = struct.unpack, struct.pack, string.sub

if KEYS[4] then
  local seen = redis.call('GET', KEYS[4])
  if seen then
    local first, sequence, applied = string.match(seen, '^(%d+) (%d+%-%d+) ([01])$')
    if first ~= digest then return {'reused'} end
    -- Written again, so that WAIT counts the replicas that have it, and therefore what was written with it.
    redis.call('SET', KEYS[4], seen, 'KEEPTTL')
    return {'repeated', sequence, tonumber(applied)}
  end
end

local value = action ~= 'forget' and redis.call('GET', KEYS[2]) or ('\1' .. string.rep('\0', HEAD))
if string.byte(value, 1) ~= 1 then
  return {'malformed', 'has version ' .. tostring(string.byte(value, 1)) .. ', this program writes version 1'}
end
if #value < HEAD + 1 then return {'malformed', 'is truncated'} end
local forgotten_time, forgotten_count, ratings = unpack_numbers('<I6I4I4', value, 2)
-- Behind the ratings.
local kinds_at = HEAD + RATING * ratings
if #value < kinds_at + 1 then return {'malformed', 'is truncated'} end

local applied = 1
local rating_at, replaces
if action == 'rate' or action == 'unrate' then
  -- What is stored of a forgotten user does not count.
  if stored and forgotten_time == 0 and forgotten_count == 0 and time < stored then
    applied = 0
  else
    local low, high = 0, ratings
    while low < high do
      local middle = math.floor((low + high) / 2)
      if unpack_numbers('<I4', value, HEAD + RATING * middle) < movie then
        low = middle + 1
      else
        high = middle
      end
    end
    rating_at = HEAD + RATING * low
    replaces = low < ratings and unpack_numbers('<I4', value, rating_at) == movie
    if replaces then
      -- The sequence of this write is the greatest.
      if time < unpack_numbers('<I4', value, rating_at + 5) then applied = 0 end
    elseif ratings >= tonumber(ARGV[8]) then
      return {'limit'}
    end
  end
end

-- The kinds are read before anything is written, so that malformed ones change nothing.
local kinds = unpack_numbers('<I2', value, kinds_at)
local index, events_at = nil, kinds_at + 2
for number = 0, kinds - 1 do
  local length = unpack_numbers('<I2', value, events_at)
  if sub(value, events_at + 2, events_at + 1 + length) == kind then index = number end
  events_at = events_at + 2 + length
end
if #value < events_at - 1 or (#value - events_at + 1) % EVENT ~= 0 then
  return {'malformed', 'is truncated'}
end

local sequence = redis.call('XADD', KEYS[1], '*', 'applied', applied, unpack(ARGV, 13))
local milliseconds, count = string.match(sequence, '^(%d+)-(%d+)$')
milliseconds, count = tonumber(milliseconds), tonumber(count)
local packed_sequence = pack_numbers('<I6I4', milliseconds, count)

if action == 'forget' then
  value = '\1' .. packed_sequence .. string.rep('\0', 6)
  redis.call('HSET', KEYS[3], ARGV[11], sequence)
elseif action == 'event' then
  local amount = unpack_numbers('<f', ARGV[4])
  if not index then
    index = kinds
    value = sub(value, 1, kinds_at - 1) .. pack_numbers('<I2', kinds + 1)
      .. sub(value, kinds_at + 2, events_at - 1) .. pack_numbers('<I2', #kind) .. kind
      .. sub(value, events_at)
    events_at = events_at + 2 + #kind
  end
  local key = pack_numbers('<I4I2', movie, index)
  local at, from = nil, events_at
  while not at do
    local found = string.find(value, key, from, true)
    if not found then break end
    if (found - events_at) % EVENT == 0 then at = found else from = found + 1 end
  end
  if at then
    local number, greatest, newest, sum, newest_time = unpack_numbers('<I4fffI4', value, at + 6)
    number = math.min(number + 1, 4294967295)
    if amount > greatest then greatest = amount end
    sum = sum + amount
    local before, behind = sub(value, 1, at - 1), sub(value, at + EVENT)
    if newest_time <= time then
      value = before .. behind .. key .. pack_numbers('<I4fffI4', number, greatest, amount, sum, time)
        .. packed_sequence
    else
      value = before .. key .. pack_numbers('<I4fffI4', number, greatest, newest, sum, newest_time)
        .. sub(value, at + EVENT - 10, at + EVENT - 1) .. behind
    end
  else
    value = value .. key .. pack_numbers('<I4fffI4', 1, amount, amount, amount, time) .. packed_sequence
  end
  local excess = (#value - events_at + 1) / EVENT - tonumber(ARGV[9])
  if excess > 0 then value = sub(value, 1, events_at - 1) .. sub(value, events_at + EVENT * excess) end
elseif applied == 1 and action ~= 'expose' then
  local rating = pack_numbers('<I4BI4', movie, half_stars, time) .. packed_sequence
  local behind = rating_at
  if replaces then
    behind = rating_at + RATING
  else
    ratings = ratings + 1
  end
  value = sub(value, 1, HEAD - 5) .. pack_numbers('<I4', ratings) .. sub(value, HEAD, rating_at - 1)
    .. rating .. sub(value, behind)
end
if action ~= 'expose' and (action == 'event' or applied == 1) then redis.call('SET', KEYS[2], value) end
if KEYS[4] then
  redis.call('SET', KEYS[4], digest .. ' ' .. sequence .. ' ' .. applied, 'PX', ARGV[10])
end
return {'ok', sequence, applied}
