/** Quantities in manifests, which were validated by the schema. */

const SECONDS: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600 };
const BYTES: Record<string, number> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/** `90s`, `10m`, `2.5` as seconds. */
export function seconds(value: number | string): number {
  if (typeof value === 'number') return value;
  const match = /^([\d.]+)(ms|s|m|h)$/.exec(value)!;
  return Number(match[1]) * SECONDS[match[2]];
}

/** `512M`, `2G`, `65536` as bytes. */
export function bytes(value: number | string): number {
  if (typeof value === 'number') return value;
  const match = /^(\d+)([kmg]?)$/i.exec(value)!;
  return Number(match[1]) * BYTES[match[2].toLowerCase()];
}
