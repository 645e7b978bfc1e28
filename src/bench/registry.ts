import type { Subject } from './subject.js';
import { completion } from './subjects/completion.js';
import { decode } from './subjects/decode.js';
import { diversions } from './subjects/diversions.js';
import { frames } from './subjects/frames.js';
import { loop } from './subjects/loop.js';
import { machines } from './subjects/machines.js';
import { start } from './subjects/start.js';
import { ticks } from './subjects/ticks.js';
import { travel } from './subjects/travel.js';

/** Every subject, in the order in which they are measured. */
export const subjects: readonly Subject[] = [
  decode,
  start,
  frames,
  machines,
  loop,
  ticks,
  travel,
  diversions,
  completion,
];
