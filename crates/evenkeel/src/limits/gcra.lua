-- One decision of a shared limit (GCRA), atomic: KEYS[1] holds the moment, in microseconds of the
-- server's clock, until which the key has used what it may. ARGV: microseconds for one request, and most
-- that may be used ahead. Returns: passes, how many more may follow, microseconds until one passes,
-- microseconds until nothing is used.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local used = math.max((tonumber(redis.call('GET', KEYS[1])) or 0) - now, 0)
local after = used + interval
-- A part of a microsecond is nobody's: sums of fractions are rounded.
if after > most + 0.5 then
  local left = math.floor(math.max(most - used, 0) / interval)
  return { 0, left, math.ceil(after - most), math.ceil(used) }
end
redis.call('SET', KEYS[1], string.format('%.3f', now + after), 'PX', math.ceil(after / 1000) + 1)
return { 1, math.floor((most - after + 0.5) / interval), 0, math.ceil(after) }
