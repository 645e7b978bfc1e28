import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findModule, moduleDepends, moduleLoadOrder, moduleName } from './kernel-modules.js';

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'modules-'));
});
afterEach(() => {
  fs.rmSync(folder, { recursive: true });
});

function module(file: string, depends: string): void {
  const full = path.join(folder, 'kernel', file);
  fs.mkdirSync(path.dirname(full), { recursive: true });
  fs.writeFileSync(full, `ELF\0license=GPL\0depends=${depends}\0retpoline=Y\0`, 'latin1');
}

describe('moduleLoadOrder', () => {
  it('puts dependencies first, each once, and leaves built-in ones out', () => {
    module('arch/x86/kvm/kvm-amd.ko', 'kvm,ccp');
    module('arch/x86/kvm/kvm.ko', 'irqbypass');
    module('virt/lib/irqbypass.ko', '');
    module('drivers/crypto/ccp/ccp.ko', 'rng-core,kvm');
    expect(moduleLoadOrder(folder, 'kvm-amd').map(moduleName)).toEqual([
      'irqbypass',
      'kvm',
      'ccp',
      'kvm_amd',
    ]);
  });

  it('finds nothing in an empty folder', () => {
    expect(moduleLoadOrder(folder, 'kvm-amd')).toEqual([]);
    expect(findModule(folder, 'kvm-amd')).toBeNull();
  });
});

describe('moduleDepends', () => {
  it('reads the .modinfo entry, also at the end of the file', () => {
    expect(moduleDepends(Buffer.from('\0depends=a,b-c\0', 'latin1'))).toEqual(['a', 'b-c']);
    expect(moduleDepends(Buffer.from('\0depends=\0'))).toEqual([]);
    expect(moduleDepends(Buffer.from('no such entry'))).toEqual([]);
  });
});

describe('moduleName', () => {
  it('drops folder and suffixes and joins by _', () => {
    expect(moduleName('/lib/kvm-amd.ko.xz')).toBe('kvm_amd');
    expect(moduleName('kvm.ko')).toBe('kvm');
  });
});
