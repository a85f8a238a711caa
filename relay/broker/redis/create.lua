-- Makes an empty log, unless there is one.
-- KEYS: meta, log, held, reports
-- ARGV: time to live (ms), then field and value of each field of the meta data
if redis.call('EXISTS', KEYS[1]) == 1 then
    return { 'exists' }
end
redis.call('DEL', unpack(KEYS, 2))
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return { 'ok' }
