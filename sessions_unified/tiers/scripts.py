"""The atomic steps of L2, as Lua: Redis runs each as one command."""

from __future__ import annotations

from typing import Final

# Leave a lease where there is nothing, or a copy too old to serve; share one that stands.
# KEYS: key. ARGV: token, lease ms, oldest servable true_at in µs, formats that can be read.
# Returns what stands now.
READ_OR_LEASE: Final = """
local held = redis.call('GET', KEYS[1])
if held then
  local kind = string.sub(held, 1, 1)
  if kind == 'L' then return held end
  if kind == 'C' and tonumber(string.sub(held, 18, 33)) > tonumber(ARGV[3])
     and string.find(ARGV[4], string.sub(held, 34, 34), 1, true) then return held end
end
local lease = 'L' .. ARGV[1]
redis.call('SET', KEYS[1], lease, 'PX', ARGV[2])
return lease
"""

# Keep a copy while its lease stands. ARGV: token, value, ttl ms. Returns 1 if kept.
FILL: Final = """
if redis.call('GET', KEYS[1]) ~= 'L' .. ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""

# After a commit: replace an older copy, end a lease, never create; tell the other processes.
# A lease is ended rather than filled: a writer that stalls between its commit and its put may
# find the lease of a reader who came after a later commit, whose own put found nothing.
# ARGV: value, version, ttl ms, channel, message. Returns 1 if it replaced a copy.
PUT: Final = """
local held = redis.call('GET', KEYS[1])
local kept = 0
if held then
  if string.sub(held, 1, 1) ~= 'C' or tonumber(ARGV[3]) <= 0 then
    redis.call('DEL', KEYS[1])
  elseif tonumber(string.sub(held, 2, 17)) < tonumber(ARGV[2]) then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
    kept = 1
  end
end
redis.call('PUBLISH', ARGV[4], ARGV[5])
return kept
"""

# Remove copy and lease; tell the other processes. ARGV: channel, message.
DELETE: Final = """
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1
"""
