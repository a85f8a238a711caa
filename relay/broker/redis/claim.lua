-- Grants a log to a new owner, and returns all of it, and the node that owned it before.
-- KEYS: meta, log, held, notes
-- ARGV: time to live (ms), node, the epoch that it must have or nothing
local before = redis.call('HGET', KEYS[1], 'node')
if not before or (ARGV[3] ~= '' and ARGV[3] ~= redis.call('HGET', KEYS[1], 'epoch')) then
    return { 'unknown' }
end
redis.call('HINCRBY', KEYS[1], 'fence', 1)
redis.call('HSET', KEYS[1], 'node', ARGV[2])
for _, key in ipairs(KEYS) do
    redis.call('PEXPIRE', key, ARGV[1])
end
return {
    'ok',
    before,
    redis.call('HGETALL', KEYS[1]),
    redis.call('XRANGE', KEYS[2], '-', '+'),
    redis.call('HVALS', KEYS[3]),
    redis.call('HGETALL', KEYS[4]),
}
