-- Adds a batch of events, all or nothing: whatever may be wrong is found before the first write.
-- KEYS: the store's own hash, then one sorted set per user, ordered by bytes (all scores are 0):
--   8 bytes of time, 8 of arrival within that microsecond, type and item, 8 of dwell.
-- ARGV: version, id type, bytes of the oldest time that is kept, most events per user, now and the time to live
--   in microseconds; then per user its events, each: 8 bytes of time, 8 of dwell, 4 of length, type and item.
local meta = KEYS[1]
local version, id_type, oldest = ARGV[1], ARGV[2], ARGV[3]
local most, now, ttl = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local known = redis.call('HMGET', meta, 'version', 'id_type')
if known[1] and known[1] ~= version then return {'version', known[1]} end
if known[2] and known[2] ~= id_type then return {'id_type', known[2]} end
for i = 2, #KEYS do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'none' and kind ~= 'zset' then return {'foreign', KEYS[i]} end
end

-- The events of one microsecond: which there are, and the last one's number.
local function events_at(key, ts)
  local found = {there = {}, last = 0}
  for _, member in ipairs(redis.call('ZRANGEBYLEX', key, '[' .. ts, '(' .. ts .. '\255')) do
    found.there[member:sub(17, -9)] = true
    found.last = struct.unpack('>I8', member, 9)
  end
  return found
end

redis.call('HSET', meta, 'version', version, 'id_type', id_type)
local stored, displaced = 0, 0
for i = 2, #KEYS do
  local key, events, at, times = KEYS[i], ARGV[i + 5], 1, {}
  redis.call('ZREMRANGEBYLEX', key, '-', '(' .. oldest)
  while at <= #events do
    local ts, dwell = events:sub(at, at + 7), events:sub(at + 8, at + 15)
    local length = struct.unpack('>I4', events, at + 16)
    local what = events:sub(at + 20, at + 19 + length)
    at = at + 20 + length
    times[ts] = times[ts] or events_at(key, ts)
    local tie = times[ts]
    if not tie.there[what] then
      tie.there[what], tie.last = true, tie.last + 1
      redis.call('ZADD', key, 0, ts .. struct.pack('>I8', tie.last) .. what .. dwell)
      stored = stored + 1
    end
  end
  local over = redis.call('ZCARD', key) - most
  if over > 0 then displaced = displaced + redis.call('ZREMRANGEBYRANK', key, 0, over - 1) end
  -- A second later than its newest event expires; what is older is hidden from readers and removed before.
  local newest = struct.unpack('>I8', redis.call('ZREVRANGE', key, 0, 0)[1])
  redis.call('PEXPIRE', key, string.format('%.0f', math.floor((newest + ttl - now) / 1000) + 1000))
end
return {'added', stored, displaced}
