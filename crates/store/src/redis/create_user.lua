-- Returns a user id that was never returned before, or that of an idempotency key.
--
-- KEYS: the last id, the idempotency key (if there is one). ARGV: the id before the first, lifetime of idempotency keys in
-- milliseconds.

if KEYS[2] then
  local seen = redis.call('GET', KEYS[2])
  if seen then
    -- Written again, so that WAIT counts the replicas that have it.
    redis.call('SET', KEYS[2], seen, 'KEEPTTL')
    return tonumber(seen)
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'NX')
local id = redis.call('INCR', KEYS[1])
if KEYS[2] then redis.call('SET', KEYS[2], id, 'PX', ARGV[2]) end
return id
