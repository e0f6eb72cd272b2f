/**
 * For `node --import`: at SIGUSR2 the heap is filled to HEAP_PERCENT of its limit with what is kept, at the next it is let go.
 * With MEMORY_LIMIT, bytes, that is what the platform tells of the container, and buffers are filled to HEAP_PERCENT of it.
 */
import { getHeapStatistics } from "node:v8"

const target = Number(process.env.HEAP_PERCENT) / 100
const limit = Number(process.env.MEMORY_LIMIT)
if (limit > 0) process.constrainedMemory = () => limit
let kept = []
let filled = false

const share = () => {
  if (limit > 0) return process.memoryUsage.rss() / limit
  const { heap_size_limit, used_heap_size } = getHeapStatistics()
  // without the young generation, as the product counts
  return used_heap_size / (heap_size_limit - 48 * 1024 * 1024)
}
const some = () => (limit > 0 ? Array.from({ length: 8 }, () => Buffer.alloc(8192, 1)) : objects())
const objects = () => Array.from({ length: 2000 }, (_, i) => ({ i, text: `${i}` }))

process.on("SIGUSR2", () => {
  filled = !filled
  if (!filled) kept = []
})

// a little at a time, so that collections come by themselves; what is not kept is garbage
setInterval(() => {
  for (let i = 0; i < 20; i++) {
    const more = some()
    if (filled && share() < target) kept.push(more)
  }
}, 10).unref()
