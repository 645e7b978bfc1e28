/** The median; of an even number of values, the mean of the two in the middle. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** "12.3 us", "1.23 ms", "4.56 s", "1234 s": three digits, one more than people read, for they are compared. */
export function formatMicros(micros: number): string {
  const three = (value: number): string => (value < 999.5 ? value.toPrecision(3) : value.toFixed(0));
  if (micros < 999.5) return `${three(micros)} us`;
  return micros < 999.5e3 ? `${three(micros / 1000)} ms` : `${three(micros / 1e6)} s`;
}

/** How often a second, with three digits: "31.4 million/s", "7,430/s". */
export function formatRate(perSecond: number): string {
  if (perSecond >= 1e6) return `${Number((perSecond / 1e6).toPrecision(3))} million/s`;
  return `${Number(perSecond.toPrecision(3)).toLocaleString('en-US')}/s`;
}
