/** Runs checks in one computer and hands out their results as they come. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Check, Result } from './checks.js';
import { Computer } from './computer.js';

export interface Run {
  /** Resolves when the check of this name is done; rejects, with what the computer said, if it never will be. */
  result(name: string): Promise<Result>;
  close(): Promise<void>;
}

/** Starts a computer for these checks, which run in this order. */
export function runChecks(checks: readonly Check[]): Run {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'host-kvm-'));
  const list = path.join(folder, 'checks.json');
  fs.writeFileSync(list, JSON.stringify(checks));
  const computer = new Computer([process.execPath, path.join(import.meta.dirname, 'inside.mjs'), list]);
  const results = new Map<string, Result>();
  const waiting = new Map<string, (result: Result | null) => void>();
  let over = false;
  const reading = (async () => {
    for await (const line of computer.lines) {
      const result = JSON.parse(line) as Result;
      results.set(result.name, result);
      waiting.get(result.name)?.(result);
    }
    await computer.off;
    over = true;
    for (const tell of waiting.values()) tell(null);
  })();
  return {
    async result(name) {
      const known = results.get(name);
      const result =
        known ?? (over ? null : await new Promise<Result | null>((resolve) => waiting.set(name, resolve)));
      if (result) return result;
      throw new Error(`the computer was off before; it said:\n${computer.said()}`);
    },
    async close() {
      await computer.close();
      await reading;
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
}
