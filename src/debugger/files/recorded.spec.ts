import { expect, it } from 'vitest';
import { resolveRecorded } from './recorded.js';

const recorded = [
  '/usr/bin/tree',
  '/usr/lib/x86_64-linux-gnu/libc.so.6',
  '/usr/lib/x86_64-linux-gnu/libz.so.1.2.13',
  '/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2',
  '/opt/tree',
];

it('names that were links when the program ran lead to the files that were recorded', () => {
  const resolve = (path: string): string | null => resolveRecorded(path, recorded);
  expect(resolve('/opt/tree')).toBe('/opt/tree');
  expect(resolve('/usr/bin/../bin/tree')).toBe('/usr/bin/tree');
  expect(resolve('/lib64/ld-linux-x86-64.so.2')).toBe('/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2');
  expect(resolve('/lib/x86_64-linux-gnu/libz.so.1')).toBe('/usr/lib/x86_64-linux-gnu/libz.so.1.2.13');
  expect(resolve('/etc/passwd')).toBeNull();
  expect(resolve('/usr/lib/debug/.build-id/ee/1c77.debug')).toBeNull();
  expect(resolve('/')).toBeNull();
});
