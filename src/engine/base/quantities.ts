/**
 * Quantities as text: a number of one to three digits and its unit. All such text is made here;
 * JSON has plain numbers. The HTML report embeds these functions, so they use only each other.
 */

/** Below ten with one decimal, else whole: `4.6`, `46`, `457`; `3` for 3 exactly. */
export function shortNumber(value: number): string {
  const tenths = Math.round(value * 10) / 10;
  return String(tenths < 10 ? tenths : Math.round(value));
}

/**
 * A duration: `467 us`, `4.6 ms`, `1.2 s`, `24 s`, `3 min 5 s`, `2 h 3 min`, `3 d 4 h`.
 * @param seconds 0 or more
 */
export function durationText(seconds: number): string {
  if (seconds === 0) return '0 s';
  // A unit ends where its numbers would round to the next one.
  if (seconds < 999.5e-6) return `${shortNumber(seconds * 1e6)} us`;
  if (seconds < 999.5e-3) return `${shortNumber(seconds * 1e3)} ms`;
  return seconds < 9.95 ? `${shortNumber(seconds)} s` : elapsedText(seconds);
}

/** An elapsed time that is updated on screen, in whole seconds: `7 s`, `3 min 5 s`, `2 h 3 min`. */
export function elapsedText(seconds: number): string {
  const two = (value: number, unit: string, rest: number, smaller: string): string =>
    rest === 0 ? `${value} ${unit}` : `${value} ${unit} ${rest} ${smaller}`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return two(Math.floor(whole / 60), 'min', whole % 60, 's');
  const minutes = Math.round(whole / 60);
  if (minutes < 24 * 60) return two(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.round(whole / 3600);
  return two(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

/** A size: `0 bytes`, `1 byte`, `999 bytes`, `1.5 KiB`, `23 MiB`, `4 GiB`. */
export function sizeText(bytes: number): string {
  if (bytes < 1000) return bytes === 1 ? '1 byte' : `${bytes} bytes`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes / 1024;
  let unit = 0;
  for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1024;
  return `${shortNumber(value)} ${units[unit]}`;
}

/** Average time: `467 us a frame`; '' for none. */
export function paceText(seconds: number, count: number, noun: string): string {
  return count > 0 ? `${durationText(seconds / count)} a ${noun}` : '';
}

/** How many there were in a second: `25/s`, `1.2 thousand/s`, `34 million/s`. */
export function rateText(count: number, seconds: number): string {
  const rate = seconds > 0 ? count / seconds : 0;
  if (rate < 999.5) return `${shortNumber(rate)}/s`;
  return rate < 999.5e3 ? `${shortNumber(rate / 1e3)} thousand/s` : `${shortNumber(rate / 1e6)} million/s`;
}

/** `1 frame`, `2 frames`. */
export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
