/** The folders of native/ include one way: {transport, bare} -> {machine, process} -> kvm -> completion. */
import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

const native = path.resolve(import.meta.dirname, '../../native');
/** Folder -> folders that it may include besides itself. */
const allowed: Record<string, readonly string[]> = {
  bare: ['kvm', 'machine'],
  completion: [],
  kvm: ['completion'],
  machine: ['kvm'],
  process: ['kvm'],
  transport: ['kvm', 'machine', 'process'],
};

it('native/ includes one way', () => {
  let found = 0;
  for (const [folder, others] of Object.entries(allowed)) {
    for (const name of fs.readdirSync(path.join(native, folder), { recursive: true, encoding: 'utf8' })) {
      if (!/\.(cc|h|S)$/.test(name)) continue;
      const file = path.join(native, folder, name);
      for (const [, included] of fs.readFileSync(file, 'utf8').matchAll(/^\s*#include "([^"]+)"/gm)) {
        // As the compiler does: from the including file's folder.
        const [target] = path.relative(native, path.resolve(path.dirname(file), included)).split(path.sep);
        found++;
        expect([folder, ...others], `${folder}/${name} includes "${included}"`).toContain(target);
      }
    }
  }
  expect(found).toBeGreaterThan(50);
});
