import { expect, it } from 'vitest';
import { sample } from '../collections.js';
import { planTarget } from './targets.js';

const SEEDS = 24;

it('plans and performs changed traces on the fake processor', () => {
  const target = planTarget([sample('zen2/hello-static'), sample('haswell/xcr0probe')]);
  const outcomes = Array.from({ length: SEEDS }, (_, seed) => target.run(seed + 1));
  target.close();
  expect(outcomes).toContain('replayed');
  expect(outcomes).toContain('E_TRACE_CORRUPT');
});
