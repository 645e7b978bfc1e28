/** The recordings of the programs, in recordings/. */
import path from 'node:path';
import { unpack } from '../unpack.js';
import type { Program } from './lists.js';

/** The folder of a program's trace, unpacked once into build/. */
export const traceOf = ({ name }: Program): string =>
  path.join(
    unpack(path.join(import.meta.dirname, 'recordings', `${name}.tar.xz`), `questions/${name}`),
    name,
  );
