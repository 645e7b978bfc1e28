/** Names of C++ and Rust, demangled by binutils' c++filt. */
import { spawnSync } from 'node:child_process';

const MAX_OUTPUT_BYTES = 512 << 20;
const TIME_LIMIT_MILLIS = 60_000;

/** In the same order; unchanged without c++filt, or if it cannot demangle them. */
export function demangleNames(names: readonly string[]): readonly string[] {
  const { status, stdout } = spawnSync('c++filt', [], {
    input: `${names.join('\n')}\n`,
    encoding: 'utf8',
    env: { LC_ALL: 'C', PATH: '/usr/local/bin:/usr/bin:/bin' },
    maxBuffer: MAX_OUTPUT_BYTES,
    timeout: TIME_LIMIT_MILLIS,
  });
  const lines = status === 0 ? stdout.split('\n') : [];
  return lines.length === names.length + 1 ? lines.slice(0, -1) : names;
}
