import { RevenantError } from '../../base/errors.js';
import type { ProbeReport } from '../../kvm/probe.js';
import type { TickStrategyName } from './strategy.js';

/** What the machine was seen to do, by the names of the probe's findings. */
const BREAKPOINT = 'hardware breakpoint';
const STEP = 'single step';

/**
 * The cheapest strategy that this machine can carry: ticks are counted, by the processor where it can, on the way to
 * events that nothing else tells, or everywhere; single steps where there are no breakpoints.
 * @param wanted what somebody asked for, whatever the machine
 * @throws RevenantError E_MACHINE_CANNOT if the machine has neither
 */
export function tickStrategyFor(
  probeReport: ProbeReport,
  verify: boolean,
  wanted?: TickStrategyName,
): TickStrategyName {
  if (wanted) return wanted;
  const has = (name: string): boolean =>
    probeReport.findings.some((finding) => finding.name === name && finding.ok);
  if (has(BREAKPOINT))
    return !verify ? 'mixed' : probeReport.branchCounterProblem === null ? 'counter' : 'instrumented';
  if (has(STEP)) return 'steps';
  throw new RevenantError(
    'E_MACHINE_CANNOT',
    `${probeReport.description}: neither execution breakpoints nor single steps arrive in the program.`,
    'Asynchronous events cannot be found there; use --machine emulated.',
  );
}
