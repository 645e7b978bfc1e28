/** Overload resolution and argument passing, for functions whose names contain types. Pure. */
import type { FoundSymbol } from '../../engine/guest/mapped-symbols.js';
import { ambiguous } from '../../engine/symbols/near.js';
import { asArgument, isReal, type Argument, type Value } from './value.js';

const isPointer = (type: string): boolean => /[*&\])]$/.test(type) || type === 'decltype(nullptr)';
const isFloat = (type: string): boolean => type === 'double' || type === 'float';

/** With the object that a method is called on, or null where the number of arguments is another. */
function parametersFor({ title, parameters }: FoundSymbol, count: number): readonly string[] | null {
  if (!parameters) return null;
  if (parameters.length === count) return parameters;
  return parameters.length + 1 === count && title.includes('::') ? ['void*', ...parameters] : null;
}

/** Larger is better; null: this argument is not for such a parameter. */
function fit(value: Value, type: string): number | null {
  if (isReal(value)) return isFloat(type) ? 2 : isPointer(type) ? null : 1;
  const isAddress = value.type === 'string' || value.type === 'pointer';
  if (isAddress) return isPointer(type) ? 2 : isFloat(type) ? null : value.type === 'string' ? null : 0;
  // A number may be an address.
  return isPointer(type) ? 0 : isFloat(type) ? 1 : 2;
}

/** The one whose parameters the arguments match best. Throws E_USAGE if this is ambiguous or there is none. */
export function overloadFor(
  name: string,
  candidates: readonly FoundSymbol[],
  values: readonly Value[],
): FoundSymbol {
  if (candidates.length === 1) return candidates[0];
  let best: FoundSymbol[] = [];
  let most = -1;
  for (const candidate of candidates) {
    const fits = parametersFor(candidate, values.length)?.map((type, index) => fit(values[index], type));
    if (!fits || fits.includes(null)) continue;
    const score = fits.reduce<number>((sum, each) => sum + (each ?? 0), 0);
    if (score > most) [best, most] = [[candidate], score];
    else if (score === most) best.push(candidate);
  }
  if (best.length === 1) return best[0];
  throw ambiguous(
    name,
    (best.length > 0 ? best : candidates).map(({ title }) => title),
  );
}

/** Converted to the types of the parameters, if known. */
export function argumentsFor(callee: FoundSymbol | null, values: readonly Value[]): Argument[] {
  const parameters = callee && parametersFor(callee, values.length);
  return values.map((value, index) => {
    const type = parameters?.[index];
    if (type === undefined) return asArgument(value);
    return isFloat(type) ? { float: value.float, isSingle: type === 'float' } : value.bits;
  });
}
