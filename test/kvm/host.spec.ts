/** The host's own /dev/kvm: missing capabilities are detected in bounded time. */
import fs from 'node:fs';
import { expect, it } from 'vitest';
import { RevenantError } from '../../src/engine/base/errors.js';
import { openHost } from '../../src/engine/kvm/native.js';
import { probe } from '../../src/engine/kvm/probe.js';
import { nativeTransport } from '../../src/engine/kvm/transport.js';
import { makeMachine } from './guest.js';

const hasKvm = fs.existsSync('/dev/kvm');

it.skipIf(!hasKvm)(`is probed${hasKvm ? '' : ' (skipped: there is no /dev/kvm)'}`, () => {
  for (const xcr0 of [3n, 7n]) {
    const transport = nativeTransport('host', 'host KVM', openHost(64 << 20));
    try {
      const started = process.hrtime.bigint();
      const probeReport = probe(makeMachine(transport, { xcr0 }));
      const millis = Number(process.hrtime.bigint() - started) / 1e6;
      const bad = probeReport.findings.filter((finding) => !finding.ok);
      console.log(
        `XCR0 0x${xcr0.toString(16)}: ${probeReport.findings.length - bad.length} correct, ${bad.length} not, ${millis.toFixed(0)} ms`,
      );
      for (const { name, expected, seen } of bad)
        console.log(`  ${name}: expected ${expected}, seen ${seen}`);
    } catch (error) {
      // A refusal in words is an answer too.
      expect(error).toBeInstanceOf(RevenantError);
      console.log((error as Error).message);
    } finally {
      transport.close();
    }
  }
});
