-- Makes a node none of those that read a stream.
-- KEYS: meta
-- ARGV: node
local readers = redis.call('HGET', KEYS[1], 'readers')
if readers then
    local others = {}
    for node in string.gmatch(readers, '%S+') do
        if node ~= ARGV[1] then
            others[#others + 1] = node
        end
    end
    redis.call('HSET', KEYS[1], 'readers', table.concat(others, ' '))
end
return 1
