import path from 'node:path';
import { TraceReader } from '../../engine/trace/reader.js';
import type { Subject } from '../subject.js';

const AIM = 300_000;

/** Decodes every frame of a trace once, decompression included. */
function decodeAll(trace: string): number {
  const reader = TraceReader.open(trace);
  let frames = 0;
  while (reader.advance() !== null) frames++;
  reader.close();
  return frames;
}

export const decode: Subject = {
  name: 'decode',
  about: 'frames decoded per second, without a machine',
  run(context) {
    const folder = context.trace('zen2/syscalls.20k', 'haswell/faults');
    if (folder === null) return [];
    const begun = context.now();
    const frames = decodeAll(folder);
    const rate = Math.round((frames / (context.now() - begun)) * 1000);
    return [
      { what: `decode ${path.basename(folder)}`, measured: `${rate} frames/s`, aim: `${AIM} frames/s` },
    ];
  },
};
