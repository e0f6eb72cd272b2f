/** For `node --import`: at SIGUSR2 the heap is filled to HEAP_PERCENT of its limit with what is kept, at the next it is let go. */
import { getHeapStatistics } from "node:v8"

const target = Number(process.env.HEAP_PERCENT) / 100
let kept = []
let filled = false

const share = () => {
  const { heap_size_limit, used_heap_size } = getHeapStatistics()
  // without the young generation, as the product counts
  return used_heap_size / (heap_size_limit - 48 * 1024 * 1024)
}
const some = () => Array.from({ length: 2000 }, (_, i) => ({ i, text: `${i}` }))

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
