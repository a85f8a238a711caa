-- Grants a log to a new owner, and returns all of it.
-- KEYS: meta, log, held
-- ARGV: time to live (ms)
if redis.call('EXISTS', KEYS[1]) == 0 then
    return { 'unknown' }
end
redis.call('HINCRBY', KEYS[1], 'fence', 1)
for _, key in ipairs(KEYS) do
    redis.call('PEXPIRE', key, ARGV[1])
end
return {
    'ok',
    redis.call('HGETALL', KEYS[1]),
    redis.call('XRANGE', KEYS[2], '-', '+'),
    redis.call('HVALS', KEYS[3]),
}
