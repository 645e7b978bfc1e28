import { InvalidArgumentError } from 'commander';

const UNITS: Record<string, number> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/** `512M`, `2G`, `65536`: a size in bytes, at least 4 MiB. */
export function parseSize(text: string): number {
  const match = /^(\d{1,12})\s*([kmg]?)i?b?$/i.exec(text);
  const bytes = match ? Number(match[1]) * UNITS[match[2].toLowerCase()] : NaN;
  if (!(bytes >= 4 * 1024 ** 2))
    throw new InvalidArgumentError('expected a size of at least 4M, such as 512M or 2G.');
  if (bytes > 64 * 1024 ** 3) throw new InvalidArgumentError('expected a size of at most 64G.');
  return bytes;
}

/** A positive decimal integer below 2^53. */
export function parseCount(text: string): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (!(value > 0)) throw new InvalidArgumentError('expected a positive number.');
  return value;
}

/** A decimal integer from 0 to 99. */
export function parseWhole(text: string): number {
  if (!/^\d{1,2}$/.test(text)) throw new InvalidArgumentError('expected a number from 0 to 99.');
  return Number(text);
}

/** Seconds, possibly with a fraction, above zero. */
export function parseSeconds(text: string): number {
  const value = /^\d{1,9}(\.\d{1,6})?$/.test(text) ? Number(text) : NaN;
  if (!(value > 0)) throw new InvalidArgumentError('expected a number of seconds above zero.');
  return value;
}
