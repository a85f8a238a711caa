-- Makes an empty log, unless there is one.
-- KEYS: meta, log, held, notes, reports
-- ARGV: time to live (ms), number of notes, then name and text of each,
--       then field and value of each field of the meta data
if redis.call('EXISTS', KEYS[1]) == 1 then
    return { 'exists' }
end
redis.call('DEL', unpack(KEYS, 2))
local at = 2
for _ = 1, tonumber(ARGV[at]) do
    redis.call('HSET', KEYS[4], ARGV[at + 1], ARGV[at + 2])
    at = at + 2
end
redis.call('HSET', KEYS[1], unpack(ARGV, at + 1))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[4], ARGV[1])
return { 'ok' }
