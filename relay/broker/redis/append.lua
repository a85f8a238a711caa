-- Appends to one stream's log: all of it or nothing.
-- KEYS: meta, log, held, notes
-- ARGV: fence, offset, time to live (ms),
--       number of notes, then name and text of each (an empty one is forgotten),
--       number of held chunks, then (sequence, value) of each,
--       number of sequences that leave the held ones, then each,
--       then of each entry: number of arguments, then field and value of each field
local fence = redis.call('HGET', KEYS[1], 'fence')
if not fence then
    return { 'unknown' }
end
if fence ~= ARGV[1] then
    return { 'fenced', fence }
end
local offset = redis.call('XLEN', KEYS[2]) + 1
if offset ~= tonumber(ARGV[2]) then
    return { 'offset', tostring(offset) }
end
local at = 4
for _ = 1, tonumber(ARGV[at]) do
    if ARGV[at + 2] == '' then
        redis.call('HDEL', KEYS[4], ARGV[at + 1])
    else
        redis.call('HSET', KEYS[4], ARGV[at + 1], ARGV[at + 2])
    end
    at = at + 2
end
at = at + 1
for _ = 1, tonumber(ARGV[at]) do
    redis.call('HSET', KEYS[3], ARGV[at + 1], ARGV[at + 2])
    at = at + 2
end
at = at + 1
for _ = 1, tonumber(ARGV[at]) do
    redis.call('HDEL', KEYS[3], ARGV[at + 1])
    at = at + 1
end
at = at + 1
while at <= #ARGV do
    local count = tonumber(ARGV[at])
    redis.call('XADD', KEYS[2], offset .. '-0', unpack(ARGV, at + 1, at + count))
    at = at + count + 1
    offset = offset + 1
end
for _, key in ipairs(KEYS) do
    redis.call('PEXPIRE', key, ARGV[3])
end
return { 'ok' }
