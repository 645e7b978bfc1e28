/** Surveys the machines of this computer, for `doctor`, and for workers before they take jobs. */
import { type ErrorCode, RevenantError } from '../engine/base/errors.js';
import type { VcpuTransport } from '../engine/kvm/transport.js';
import type { TraceHeader } from '../engine/trace/records.js';
import { openTransport, tryMachine, type TransportOptions, type Trial } from './choose.js';
import { examine, type Examination } from './examine.js';
import type { MachineKind } from './kinds.js';

export interface SurveyedMachine {
  readonly kind: MachineKind;
  /** Why there is no machine, or why it was lost. */
  readonly problem: string | null;
  readonly hint?: string;
  /** Of the problem, if there is one. */
  readonly code?: ErrorCode;
  readonly examination: Examination | null;
  /** Only with a trace, and if the machine exists. */
  readonly trial: Trial | null;
}

/** Probes one machine and releases it; failure to make it, or its loss, is a finding, too. */
export async function surveyMachine(
  kind: MachineKind,
  options: TransportOptions & { completion?: boolean },
  header: TraceHeader | null = null,
): Promise<SurveyedMachine> {
  let transport: VcpuTransport | null = null;
  let examination: Examination | null = null;
  try {
    transport = await openTransport(kind, options);
    examination = examine(transport);
    const trial = header && tryMachine(transport, header, options.completion, options.use);
    return { kind, problem: null, examination, trial };
  } catch (error) {
    if (!(error instanceof RevenantError)) throw error;
    const { message: problem, hint, code } = error;
    return { kind, problem, hint, code, examination, trial: null };
  } finally {
    transport?.close();
  }
}
