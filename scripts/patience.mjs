/**
 * Waiting time, scaled by the load of this machine: with four runnable processes per processor, a
 * second counts as a quarter. Limits in these seconds detect hangs without failing on a busy
 * machine.
 */
import fs from 'node:fs';
import os from 'node:os';

/** Share of a processor that a process gets now, from 0 to 1: the load of the last minute (proc(5), /proc/loadavg). */
function share() {
  const load = Number(fs.readFileSync('/proc/loadavg', 'latin1').split(' ')[0]);
  return Math.min(1, os.availableParallelism() / Math.max(load, 1));
}

/**
 * Starts measuring.
 * @returns {() => number} the fair seconds since the start; to be asked every few seconds, as the load changes
 */
export function patientClock() {
  let seconds = 0;
  let last = performance.now();
  return () => {
    const now = performance.now();
    seconds += ((now - last) / 1000) * share();
    last = now;
    return seconds;
  };
}
