-- Appends to one stream's log, all of it or nothing, and rings the bells of those who read it.
-- KEYS: meta, log, held, notes, then the bell of every other node that reads the stream
-- ARGV: fence, offset, the nodes that read (as far as the caller knows),
--       time to live (ms; 0 where it need not be set again), stream,
--       1 where the bells get the entries, 0 where they only get the last offset, length of a bell,
--       number of notes, then name and text of each (an empty one is forgotten),
--       number of held chunks, then (sequence, value) of each,
--       number of sequences that leave the held ones, then each,
--       then of each entry: number of arguments, then field and value of each field
local meta = redis.call('HMGET', KEYS[1], 'fence', 'readers', 'epoch')
if not meta[1] then
    return { 'unknown' }
end
if meta[1] ~= ARGV[1] then
    return { 'fenced', meta[1] }
end
local offset = redis.call('XLEN', KEYS[2]) + 1
if offset ~= tonumber(ARGV[2]) then
    return { 'offset', tostring(offset) }
end
if (meta[2] or '') ~= ARGV[3] then
    return { 'readers', meta[2] or '' }
end
local at = 8
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
local function ring(...)
    -- A bell that is not there belongs to a node that is gone.
    for bell = 5, #KEYS do
        redis.call('XADD', KEYS[bell], 'NOMKSTREAM', 'MAXLEN', '~', ARGV[7], '*',
            'stream', ARGV[5], 'epoch', meta[3], ...)
    end
end
local first = offset
while at <= #ARGV do
    local last = at + ARGV[at]
    redis.call('XADD', KEYS[2], offset .. '-0', unpack(ARGV, at + 1, last))
    if ARGV[6] == '1' then
        ring(unpack(ARGV, at + 1, last))
    end
    at = last + 1
    offset = offset + 1
end
if ARGV[6] ~= '1' and offset > first then
    ring('offset', offset - 1)
end
if ARGV[4] ~= '0' then
    for _, key in ipairs(KEYS) do
        redis.call('PEXPIRE', key, ARGV[4])
    end
end
return { 'ok' }
