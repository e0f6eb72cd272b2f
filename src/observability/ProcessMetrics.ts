/** The standard `process_…` metrics, read at each scrape. What this platform does not tell is left out. */
import { readdirSync, readFileSync, statSync } from "node:fs"
import type { Family, MetricType } from "./Metrics.js"

export const processFamilies = (): ReadonlyArray<Family> => {
  const memory = process.memoryUsage()
  const { system, user } = process.cpuUsage()
  return [
    one("process_cpu_seconds_total", "counter", "Processor time spent, in seconds.", (user + system) / 1_000_000),
    one("process_resident_memory_bytes", "gauge", "Resident memory.", memory.rss),
    one("process_heap_bytes", "gauge", "JavaScript heap in use.", memory.heapUsed),
    one("process_open_fds", "gauge", "Open file descriptors.", openFiles()),
    one("process_max_fds", "gauge", "Limit of open file descriptors.", maxFiles()),
    one(
      "process_start_time_seconds",
      "gauge",
      "Start of the process, seconds since 1970.",
      performance.timeOrigin / 1000
    )
  ].filter((family) => family.samples.length > 0)
}

const one = (name: string, type: MetricType, help: string, value: number | undefined): Family => ({
  name,
  type,
  help,
  samples: value === undefined ? [] : [{ labels: [], value }]
})

/** Linux since 6.2 tells the number as the folder's size; listing 50,000 entries would stop the event loop. */
export const openFiles = (): number | undefined =>
  attempt(() => {
    const { size } = statSync("/proc/self/fd")
    return size > 0 ? size : readdirSync("/proc/self/fd").length
  })

/** The soft limit of open files; undefined where it is not told, Infinity where there is none. */
export const maxFiles = (): number | undefined =>
  attempt(() => {
    const [, soft] = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? []
    return soft === undefined ? undefined : soft === "unlimited" ? Infinity : Number(soft)
  })

const attempt = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch {
    return undefined
  }
}
