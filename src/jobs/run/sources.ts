/** Lines of source files for reports. What a recording names must not bring other files of this machine into one. */
import fs from 'node:fs';
import path from 'node:path';
import type { StackFrame } from '../model/stack.js';

const SOURCE =
  /\.(c|cc|cpp|cxx|c\+\+|h|hh|hpp|hxx|inc|ipp|tcc|rs|go|s|S|asm|f|f90|zig|d|nim|pas|adb|ads|m|mm|py|v)$/;
const MOST_BYTES = 4 << 20;
const BEFORE = 4;
const AFTER = 2;

/**
 * Lines around one of a file that debug information names: from the file at the longest matching suffix of that path
 * below a folder (`/build/src/tree.c` may be `src/tree.c` here). Empty if there is none.
 * @param folder nothing outside of it is read, after resolving links
 */
export function sourceLines(folder: string, file: string, line: number): StackFrame['source'] {
  const found = SOURCE.test(file) ? fileBelow(fs.realpathSync(folder), file) : null;
  if (found === null) return [];
  const lines = fs.readFileSync(found, 'utf8').split('\n');
  if (line < 1 || line > lines.length) return [];
  const first = Math.max(1, line - BEFORE);
  return lines.slice(first - 1, line + AFTER).map((text, at) => ({
    number: first + at,
    text,
    current: first + at === line,
  }));
}

function fileBelow(root: string, file: string): string | null {
  const parts = path.normalize(file).split('/').filter(Boolean);
  if (parts.includes('..')) return null;
  for (let skipped = 0; skipped < parts.length; skipped++) {
    const candidate = path.join(root, ...parts.slice(skipped));
    try {
      const real = fs.realpathSync(candidate);
      const stat = fs.statSync(real);
      if (real.startsWith(`${root}/`) && SOURCE.test(real) && stat.isFile() && stat.size <= MOST_BYTES)
        return real;
    } catch {
      // Not there; a shorter path may be.
    }
  }
  return null;
}
