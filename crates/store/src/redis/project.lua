-- Writes one value of a user unless an equal or newer projection was written before.
--
-- KEYS: the plain key, and the record of its projections: a hash with the `generation` and the `sequence` of the last one,
-- the digest of the value that it wrote (`digest`), and the value of the generation (`was`).
-- ARGV: action, type (`hash` or `string`), generation, milliseconds and count of the sequence, lifetime of settled records in
-- milliseconds; then the value, or the fields with their values; nothing to remove it.
-- Replies 1 if it was written, 0 if an equal or newer one was.

local key, record, action, is_hash = KEYS[1], KEYS[2], ARGV[1], ARGV[2] == 'hash'

local known = redis.call('HMGET', record, 'generation', 'sequence', 'digest', 'was')
if known[1] then
  local milliseconds, count = string.match(known[2], '^(%d+)-(%d+)$')
  local last = {tonumber(known[1]), tonumber(milliseconds), tonumber(count)}
  local is_newer = false
  for index = 1, 3 do
    local new = tonumber(ARGV[2 + index])
    if new ~= last[index] then
      is_newer = new > last[index]
      break
    end
  end
  if not is_newer then return 0 end
elseif action == 'restore' or action == 'settle' then
  -- Nothing was projected.
  return 0
end

-- The value in one string, the empty string if there is none.
local function current()
  if not is_hash then return redis.call('GET', key) or '' end
  local fields = redis.call('HGETALL', key)
  return #fields == 0 and '' or cmsgpack.pack(fields)
end

-- Replaces the value, and keeps its time to live.
local function write(fields)
  if #fields == 0 then return redis.call('DEL', key) end
  if not is_hash then return redis.call('SET', key, fields[1], 'KEEPTTL') end
  local left = redis.call('PTTL', key)
  redis.call('DEL', key)
  redis.call('HSET', key, unpack(fields))
  if left > 0 then redis.call('PEXPIRE', key, left) end
end

local value = current()
-- Otherwise a push or another program has written the value since.
local is_ours = known[3] and redis.sha1hex(value) == known[3]

if action == 'restore' then
  if is_ours and known[4] then
    write(known[4] == '' and {} or is_hash and cmsgpack.unpack(known[4]) or {known[4]})
  end
  redis.call('HDEL', record, 'digest', 'was')
elseif action == 'settle' then
  redis.call('HDEL', record, 'digest', 'was')
else
  if action == 'replace' then
    redis.call('HDEL', record, 'was')
  elseif not is_ours then
    redis.call('HSET', record, 'was', value)
  end
  write({unpack(ARGV, 7)})
  redis.call('HSET', record, 'digest', redis.sha1hex(current()))
end

redis.call('HSET', record, 'generation', ARGV[3], 'sequence', ARGV[4] .. '-' .. ARGV[5])
if action == 'settle' then
  redis.call('PEXPIRE', record, ARGV[6])
else
  redis.call('PERSIST', record)
end
return 1
