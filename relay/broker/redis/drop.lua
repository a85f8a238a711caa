-- Forgets a log, and tells those who read it on other nodes.
-- KEYS: meta, log, held, notes, reports, then the bell of every other node that reads the stream
-- ARGV: the nodes that read (as far as the caller knows), stream, length of a bell
local readers = redis.call('HGET', KEYS[1], 'readers')
if not readers then
    return { 'unknown' }
end
if readers ~= ARGV[1] then
    return { 'readers', readers }
end
redis.call('DEL', unpack(KEYS, 1, 5))
for bell = 6, #KEYS do
    redis.call('XADD', KEYS[bell], 'NOMKSTREAM', 'MAXLEN', '~', ARGV[3], '*', 'stream', ARGV[2])
end
return { 'ok' }
