import fs from 'node:fs';
import { expect, it } from 'vitest';
import { kindsOf, MACHINE_CHOICES } from './kinds.js';

it('the schema of manifests has the same machines', () => {
  const file = new URL('../../schema/ci-manifest.schema.json', import.meta.url);
  const enums = [
    ...fs.readFileSync(file, 'utf8').matchAll(/"machine":\s*\{[^}]*"enum":\s*(\[[^\]]*\])/g),
  ].map(([, list]) => JSON.parse(list) as string[]);
  expect(enums.length).toBeGreaterThan(0);
  for (const names of enums) expect(names.sort()).toEqual([...MACHINE_CHOICES].sort());
});

it('a choice leaves one machine, or all', () => {
  expect(kindsOf('host')).toEqual(['host']);
  expect(kindsOf('auto')).toEqual(['host', 'process', 'emulated']);
});

it('what has failed is not tried again', () => {
  expect(kindsOf('auto', new Set(['process']))).toEqual(['host', 'emulated']);
  expect(kindsOf('host', new Set(['host']))).toEqual(['host']);
});
