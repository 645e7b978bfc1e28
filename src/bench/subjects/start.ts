import { formatMicros } from '../statistics.js';
import type { Subject } from '../subject.js';

const RUNS = 5;

export const start: Subject = {
  name: 'start',
  about: 'from the command to the first frame, the machine already running',
  run(context) {
    const folder = context.trace('zen2/hello-static');
    if (folder === null) return [];
    context.command(['replay', folder, '--quiet']);
    const first = (): number => context.command(['replay', folder, '--goto', '1', '--json']).seconds;
    const best = Math.min(...Array.from({ length: RUNS }, first));
    return [
      { what: `command to first frame (best of ${RUNS})`, measured: formatMicros(best * 1e6), aim: '0.3 s' },
    ];
  },
};
