import { TraceReader } from '../engine/trace/reader.js';

export interface DecodeResult {
  frames: number;
  seconds: number;
  framesPerSecond: number;
}

/**
 * Decodes every frame of a trace once, decompression included.
 * @param now milliseconds of a monotonic clock
 */
export function benchDecode(trace: string, now: () => number = () => performance.now()): DecodeResult {
  const reader = TraceReader.open(trace);
  const begun = now();
  let frames = 0;
  while (reader.advance() !== null) frames++;
  const seconds = (now() - begun) / 1000;
  reader.close();
  return { frames, seconds, framesPerSecond: frames / seconds };
}
