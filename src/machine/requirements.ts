/** Requirements of a trace, capabilities of a machine, and their compatibility. Pure. */
import type { MachineKind } from './kinds.js';
import { hex } from '../engine/base/address.js';
import { RevenantError } from '../engine/base/errors.js';
import { CompletionVendor } from '../engine/kvm/control.js';
import { cpuidEntries, cr4FromTrace, Leaf1Ecx, umipAnswers } from '../engine/kvm/cpuid.js';
import { xcr0BitNames } from '../engine/kvm/features.js';
import type { MachineConfig } from '../engine/kvm/machine.js';
import type { ProbeReport } from '../engine/kvm/probe.js';
import type { CpuidRecord, TraceHeader } from '../engine/trace/records.js';
import {
  AMX_STATE,
  BMI1_FEATURE,
  COMPLETED_STATE,
  completionFeatures,
  LZCNT_FEATURE,
  processorXcr0,
  PROTECTION_KEYS,
} from '../engine/x86/completion.js';
import { LEFT_OUT } from '../engine/x86/unraised.js';
import type { XstateComponent, XstateLayout } from '../engine/x86/xstate-layout.js';
import {
  componentName,
  findComponent,
  findLeaf,
  hardwareLayout,
  recordedLayout,
} from '../engine/x86/xstate-layout.js';
import { isAmd } from '../engine/x86/xsave-traits.js';
import { missingInstructions } from './instruction-sets.js';
import { DEFAULT_CPU } from './launch.js';

/** What the default emulated machine has: x87, SSE, AVX, protection keys. */
export const EMULATED_XCR0 = 0x207n;
/** EDX of CPUID leaf 7. */
const AMX_TILE = 1 << 24;
/** Linear address bits where CPUID does not say. */
const USUAL_ADDRESS_BITS = 48;
/** CPUID's leaf in which a hypervisor names itself, and the first letters of QEMU's emulator there; of Intel in leaf 0. */
const [HYPERVISOR, TCG, INTEL] = [0x4000_0000, 0x54474354, 0x756e_6547];
/** Of the results of CPUID that differ, in a note. */
const SHOWN_RESULTS = 3;

export interface TraceRequirements {
  /** XCR0 as recorded, or all that CPUID enumerates for traces without it. */
  xcr0: bigint;
  /** Where the recorded XSAVE areas have their components. */
  layout: XstateLayout;
  cpuid: readonly CpuidRecord[];
  /** CPUID was recorded by trapping it. */
  cpuidFaulting: boolean;
  /** Bits of a linear address that the program may have used, with the sign bit. */
  addressBits: number;
}

/** The known facts about a machine. */
export interface MachineCapabilities {
  kind: MachineKind;
  description: string;
  /** Every XCR0 bit that it offers. */
  xcr0: bigint;
  /** KVM_GET_SUPPORTED_CPUID. */
  cpuid: readonly CpuidRecord[];
  /** Its service executes instructions that the processor lacks. */
  completes: boolean;
  /** PKRU is kept beside the processor, for a program that can forbid key 0: `xcr0` is without it. Default: false. */
  keepsKeys?: boolean;
  /** The probe's report of a VM made for this trace; null before it was run. */
  probeReport: ProbeReport | null;
}

export interface Compatibility {
  ok: boolean;
  /** Why not: whole sentences. Empty if ok. */
  reasons: string[];
  /** What will be slower or may fail later: whole sentences. */
  notes: string[];
  /** What would help, if not ok. */
  hint?: string;
}

/** Throws E_TRACE_CORRUPT when the recorded CPUID contradicts itself. */
export function traceRequirements(header: TraceHeader): TraceRequirements {
  const layout = recordedLayout(header.cpuidRecords, header.xcr0);
  return {
    xcr0: layout.xcr0,
    layout,
    cpuid: header.cpuidRecords,
    cpuidFaulting: header.hasCpuidFaulting,
    // The size is of user space; the other half of the canonical addresses is the kernel's.
    addressBits: header.maxVirtualAddressSize > 0 ? header.maxVirtualAddressSize + 1 : USUAL_ADDRESS_BITS,
  };
}

/**
 * The processor as the recorded program saw it. If components of extended state have other offsets
 * here, KVM would compute leaf 0xD from the hardware's: then CPUID is made to fault, and answered
 * in software. The probe does so for any other result that differs. Throws E_MACHINE_CANNOT,
 * E_TRACE_CORRUPT.
 */
export function machineConfig(header: TraceHeader, capabilities?: MachineCapabilities): MachineConfig {
  const needs = traceRequirements(header);
  const moved =
    capabilities !== undefined &&
    (movedComponents(needs, capabilities).length > 0 || besideOf(needs, capabilities) !== 0n);
  const cr4 = cr4FromTrace(header.cpuidRecords, header.uname.release);
  return {
    cpuid: cpuidEntries(header.cpuidRecords),
    xcr0: needs.xcr0,
    cr4,
    umipAnswers: umipAnswers(cr4, header.uname.release),
    // Of a recorder that did not bind tasks to a processor, what RDPID returned is not known.
    cpuNumber: Math.max(0, header.bindToCpu),
    cpuidFaulting: header.hasCpuidFaulting || moved,
    cpuidInSoftware: moved && !header.hasCpuidFaulting,
    completion: capabilities && completionOf(needs, capabilities),
    keepsKeys: capabilities?.keepsKeys,
    couldKeepKeys: capabilities?.completes,
    hides: capabilities && hidesOf(needs, capabilities),
  };
}

/** Bits of the recorded XCR0 whose state is kept beside the processor, or would be. */
function besideOf(needs: TraceRequirements, { completes, xcr0 }: MachineCapabilities): bigint {
  return completes ? needs.xcr0 & ~processorXcr0(needs.xcr0, xcr0) : 0n;
}

/**
 * Whether the processor has tiles that a process gets on request only. Then it refuses most of their instructions, but not
 * all: STTILECFG would store its own configuration instead of the one beside it.
 */
const hasTilesUnasked = (needs: TraceRequirements, capabilities: MachineCapabilities): boolean =>
  capabilities.kind === 'process' &&
  (besideOf(needs, capabilities) & AMX_STATE) !== 0n &&
  ((findLeaf(capabilities.cpuid, 7, 0)?.edx ?? 0) & AMX_TILE) !== 0;

/** Nothing where the processor has everything that can be executed in software, and gives the recorded results. */
function completionOf(
  needs: TraceRequirements,
  capabilities: MachineCapabilities,
): MachineConfig['completion'] {
  if (!capabilities.completes) return undefined;
  const features = completionFeatures(needs.cpuid, needs.xcr0);
  const missing = features & ~completionFeatures(capabilities.cpuid, capabilities.xcr0);
  const isWhole = missing === 0n && besideOf(needs, capabilities) === 0n;
  if (isWhole && !hidesOf(needs, capabilities)) return undefined;
  return { features, vendor: isAmd(needs.cpuid) ? CompletionVendor.amd : CompletionVendor.intel };
}

/** What this machine would execute otherwise, without an exception. */
function hidesOf(needs: TraceRequirements, capabilities: MachineCapabilities): MachineConfig['hides'] {
  if (!capabilities.completes) return undefined;
  const recorded = completionFeatures(needs.cpuid, needs.xcr0);
  const missing = recorded & ~completionFeatures(capabilities.cpuid, capabilities.xcr0);
  const hides = {
    lzcnt: (missing & LZCNT_FEATURE) !== 0n,
    tzcnt: (missing & BMI1_FEATURE) !== 0n,
    approximations: completesApproximations(needs, capabilities),
  };
  return Object.values(hides).some(Boolean) ? hides : undefined;
}

const addressBitsOf = (cpuid: readonly CpuidRecord[]): number => {
  const leaf = findLeaf(cpuid, 0x8000_0008, 0);
  return leaf ? (leaf.eax >>> 8) & 0xff || USUAL_ADDRESS_BITS : USUAL_ADDRESS_BITS;
};

/** Components that lie elsewhere here, or are of another size, of those that the machine has. */
function movedComponents(
  needs: TraceRequirements,
  capabilities: MachineCapabilities,
): [there: XstateComponent, here: XstateComponent][] {
  const xcr0 = processorXcr0(needs.xcr0, capabilities.xcr0) & capabilities.xcr0;
  const own = hardwareLayout(capabilities.cpuid, xcr0);
  return needs.layout.components.flatMap((there) => {
    const here = findComponent(own, there.bit);
    const moved = here && (there.offset !== here.offset || there.size !== here.size);
    return moved ? [[there, here] as [XstateComponent, XstateComponent]] : [];
  });
}

const moved = (there: XstateComponent, here: XstateComponent): string =>
  `XSAVE areas have ${componentName(there.bit)} ${place(there)} in the recording and ${place(here)} here.`;

const place = ({ offset, size }: XstateComponent): string => `at ${offset} (${size} bytes)`;

/** What would provide the missing XCR0 bits. */
function xcr0Hint(missing: bigint, { kind, completes }: MachineCapabilities): string {
  const isEmulated = (missing & ~EMULATED_XCR0) === 0n;
  if (!isEmulated && !completes && (missing & ~COMPLETED_STATE) === 0n) {
    return (
      `A build with Zydis (libzydis-dev) executes it in software, without --no-completion. Else it needs a computer whose ` +
      `processor has ${xcr0BitNames(missing)} and whose KVM exposes it to guests.`
    );
  }
  if (!isEmulated) {
    return (
      `It needs a computer whose processor has ${xcr0BitNames(missing & ~EMULATED_XCR0)} ` +
      "and whose KVM exposes it to guests; QEMU's emulator does not have it."
    );
  }
  return kind === 'host'
    ? `The emulated machine has it: --machine emulated.`
    : `The default emulated machine has it: leave --cpu out, or use --cpu ${DEFAULT_CPU}.`;
}

/** The consequences of a failed probe check for the program. */
const MEANINGS: readonly [prefix: string, meaning: string][] = [
  [
    'XCR0 by XGETBV',
    'the program would see another XCR0 than the recorded one, because the machine does not honour it',
  ],
  ['CPUID', "the program would see another processor's CPUID"],
  ['RDTSC', 'RDTSC cannot return its recorded values'],
  ['system call', 'system calls do not reach ring 0 as on a processor'],
  ['XSAVE', 'vector state is not saved where the program expects it'],
  ['XRSTOR', 'vector state cannot be restored'],
];

function probeReasons(probeReport: ProbeReport): string[] {
  const failed = probeReport.findings.filter((finding) => !finding.ok);
  const told = new Set<string>();
  return failed.flatMap(({ name, expected, seen }) => {
    const meaning = MEANINGS.find(([prefix]) => name.startsWith(prefix));
    // CPUID has a finding for every register; one sentence is enough.
    if (meaning && told.has(meaning[0])) return [];
    if (meaning) told.add(meaning[0]);
    return [`${name}: expected ${expected}, seen ${seen}${meaning ? `: ${meaning[1]}` : ''}.`];
  });
}

/** Components that processors without XSAVE have, too. */
const WITHOUT_XSAVE = 3n;

/**
 * Whether the recorded program had XSAVE and XGETBV, and that processor has not: Intel's before Sandy Bridge. A KVM that
 * contradicts itself, offering components of XSAVE without it, is not believed: the probe finds out.
 */
function lacksXsave(needs: TraceRequirements, { cpuid, xcr0 }: MachineCapabilities): boolean {
  const here = findLeaf(cpuid, 1, 0);
  return (
    here !== undefined &&
    (xcr0 & ~WITHOUT_XSAVE) === 0n &&
    !(here.ecx & Leaf1Ecx.XSAVE) &&
    ((findLeaf(needs.cpuid, 1, 0)?.ecx ?? 0) & Leaf1Ecx.OSXSAVE) !== 0
  );
}

/** Whether a trace with these requirements can be replayed there, as far as is known. */
export function judge(needs: TraceRequirements, capabilities: MachineCapabilities): Compatibility {
  const reasons: string[] = [];
  let hint: string | undefined;
  const missing = needs.xcr0 & ~capabilities.xcr0 & ~besideOf(needs, capabilities);
  if (missing !== 0n) {
    reasons.push(
      `The recording has ${xcr0BitNames(missing)}, which ${capabilities.description} does not have ` +
        `(recorded XCR0 ${hex(needs.xcr0)}, there at most ${hex(capabilities.xcr0)}).`,
    );
    hint = xcr0Hint(missing, capabilities);
  } else {
    for (const [there, here] of movedComponents(needs, capabilities)) {
      if (there.size !== here.size) reasons.push(moved(there, here));
    }
  }
  if (missing === 0n && lacksXsave(needs, capabilities)) {
    reasons.push(`The recording has XSAVE and XGETBV, which ${capabilities.description} does not have.`);
    if (capabilities.kind === 'emulated') hint = xcr0Hint(0n, capabilities);
  }
  if (hasTilesUnasked(needs, capabilities))
    reasons.push(
      "The recording has tiles (AMX). This processor has them too, but not for a process, and STTILECFG would show the processor's.",
    );
  const bits = addressBitsOf(capabilities.cpuid);
  if (needs.addressBits > bits) {
    reasons.push(`The program had linear addresses of ${needs.addressBits} bits; here they have ${bits}.`);
  }
  if (capabilities.probeReport) reasons.push(...probeReasons(capabilities.probeReport));
  const ok = reasons.length === 0;
  if (!ok && capabilities.kind !== 'emulated') hint ??= 'Use --machine emulated, or auto.';
  return { ok, reasons, notes: missing === 0n ? notesOf(needs, capabilities) : [], hint };
}

/** Precondition: the machine has all components. */
function notesOf(needs: TraceRequirements, capabilities: MachineCapabilities): string[] {
  const { emulated, absent } = missingInstructions(
    needs.cpuid,
    capabilities.cpuid,
    completionOf(needs, capabilities) !== undefined,
  );
  const notes: string[] = [];
  const elsewhere = movedComponents(needs, capabilities);
  for (const [there, here] of elsewhere) notes.push(moved(there, here));
  const beside = besideOf(needs, capabilities);
  const lacked = capabilities.keepsKeys ? beside & ~PROTECTION_KEYS : beside;
  if (lacked !== 0n)
    notes.push(`Kept beside the processor, which does not have it: ${xcr0BitNames(lacked)}.`);
  if (lacked !== beside)
    notes.push('Kept beside the processor, as the program has protection keys of its own: PKRU.');
  if (elsewhere.length > 0 || beside !== 0n)
    notes.push(
      'XSAVE, XSAVEC, XSAVEOPT, XRSTOR, XGETBV and CPUID are completed in software, in the recorded layout.',
    );
  const cpuidHere = capabilities.probeReport?.cpuidHere ?? [];
  if (cpuidHere.length > 0) {
    const more = cpuidHere.length > SHOWN_RESULTS ? `, and ${cpuidHere.length - SHOWN_RESULTS} more` : '';
    notes.push(
      `CPUID is answered from the recording: here ${cpuidHere.slice(0, SHOWN_RESULTS).join('; ')}${more}.`,
    );
  }
  const leftOut = capabilities.probeReport?.leftOut ?? [];
  if (leftOut.length > 0) {
    const kinds = leftOut.map((kind) => LEFT_OUT[kind]).join(', ');
    notes.push(`Exceptions that are completed in replays, most not in diversions: ${kinds}.`);
  }
  if (emulated.length > 0) notes.push(`Completed in software: ${emulated.join(', ')}.`);
  if (absent.length > 0) {
    notes.push(`Recorded but not here, so that the program must not have used them: ${absent.join(', ')}.`);
  }
  return notes;
}

/** Whose tables RSQRT and RCP follow; emulators of the recorded processor compute exactly. */
function approximationsOf(records: readonly CpuidRecord[]): 'intel' | 'amd' | 'exact' | 'unknown' {
  if (findLeaf(records, HYPERVISOR, 0)?.ebx === TCG) return 'exact';
  if (isAmd(records)) return 'amd';
  return findLeaf(records, 0, 0)?.ebx === INTEL ? 'intel' : 'unknown';
}

/** Whether RSQRT and RCP return other bits there than where the trace was recorded. */
export function approximatesOtherwise(needs: TraceRequirements, capabilities: MachineCapabilities): boolean {
  const here = capabilities.kind === 'emulated' ? 'exact' : approximationsOf(capabilities.cpuid);
  return approximationsOf(needs.cpuid) !== here;
}

/** Whether it does, and the recorded results are computed in software. */
export function completesApproximations(
  needs: TraceRequirements,
  capabilities: MachineCapabilities,
): boolean {
  const recorded = approximationsOf(needs.cpuid);
  const isKnown = recorded === 'intel' || recorded === 'amd';
  return capabilities.completes && isKnown && approximatesOtherwise(needs, capabilities);
}

/** The incompatibility as the error that ends the command. Precondition: not ok. */
export function incompatibleError(compatibility: Compatibility): RevenantError {
  return new RevenantError('E_MACHINE_CANNOT', compatibility.reasons.join('\n'), compatibility.hint);
}
