-- Makes an empty log, unless there is one.
-- KEYS: meta, log, held, notes, reports, the bell of the node that makes it
-- ARGV: time to live (ms), number of notes, then name and text of each,
--       then field and value of each field of the meta data
if redis.call('EXISTS', KEYS[1]) == 1 then
    return { 'exists' }
end
redis.call('DEL', unpack(KEYS, 2, 5))
local at = 2
for _ = 1, tonumber(ARGV[at]) do
    redis.call('HSET', KEYS[4], ARGV[at + 1], ARGV[at + 2])
    at = at + 2
end
-- By the clock, so that whoever owned a log of this stream that is lost cannot write to this one.
local time = redis.call('TIME')
local fence = string.format('%.0f', time[1] * 1000000 + time[2])
redis.call('HSET', KEYS[1], 'fence', fence, unpack(ARGV, at + 1))
if redis.call('EXISTS', KEYS[6]) == 0 then
    redis.call('XADD', KEYS[6], '*', 'begun', 1)
end
for _, key in ipairs({ KEYS[1], KEYS[4], KEYS[6] }) do
    redis.call('PEXPIRE', key, ARGV[1])
end
return { 'ok', fence }
