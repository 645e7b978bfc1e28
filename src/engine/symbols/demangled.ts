/** C++ and Rust names as written in source, found among the symbols of a file. Pure. */
import type { SymbolTable } from './symbol-table.js';

/** Demangles names, in order; what cannot be demangled stays as it is. */
export type Demangle = (names: readonly string[]) => readonly string[];

export interface DemangledName {
  /** In the symbol table. */
  readonly raw: string;
  /** `shop::price(shop::Item const*, int)`. */
  readonly title: string;
  /** Types of a function's parameters, or null if the name does not contain them. */
  readonly parameters: readonly string[] | null;
}

interface Entry extends DemangledName {
  /** Forms without spaces: with parameters, without them, without template arguments. */
  readonly forms: readonly string[];
}

const MANGLED = /^(?:_Z|_R)[\w.$]+$/;
/** Split-off parts (`.cold`), type tables, thunks and guards, which are never called by name. */
const INTERNAL =
  / \[clone |^(?:vtable|VTT|typeinfo(?: name)?|guard variable|construction vtable|(?:non-)?virtual thunk|covariant return thunk) /;

export class DemangledNames {
  private entries: readonly Entry[] | null = null;

  constructor(
    private readonly table: SymbolTable,
    private readonly demangle: Demangle,
  ) {}

  /** Functions and variables that match a name, or the end of a qualified one. */
  find(text: string): DemangledName[] {
    const wanted = canonical(text);
    const found = new Map<string, Entry>();
    for (const entry of this.all())
      if (entry.raw === text || entry.forms.some((form) => form === wanted || form.endsWith(`::${wanted}`)))
        if (!found.has(entry.title)) found.set(entry.title, entry);
    const list = [...found.values()];
    // A complete name does not match one in another namespace.
    const whole = list.filter(({ forms }) => forms.includes(wanted));
    return whole.length > 0 ? whole : list;
  }

  /** Names without parameters, for near misses. */
  *titles(): Generator<string> {
    for (const { title } of this.all()) yield splitParameters(title).name;
  }

  private all(): readonly Entry[] {
    if (this.entries) return this.entries;
    const raw = [...new Set(this.table.names())].filter((name) => MANGLED.test(name));
    const titles = raw.length > 0 ? this.demangle(raw) : [];
    const entries: Entry[] = [];
    raw.forEach((name, index) => {
      const title = titles[index];
      if (title !== undefined && title !== name && !INTERNAL.test(title)) entries.push(entryOf(name, title));
    });
    return (this.entries = entries);
  }
}

function entryOf(raw: string, demangled: string): Entry {
  // Rust: the hash of the old mangling, the disambiguator of the new one.
  const text = demangled.replace(/::h[0-9a-f]{16}$/, '').replace(/\[[0-9a-f]{1,16}\](?=::)/g, '');
  const { name, parameters, rest } = splitParameters(text);
  const bare = withoutReturnType(name);
  const title = parameters === null ? bare : `${bare}(${parameters.join(', ')})${rest}`;
  const forms = [title, bare, bare.replace(/<[^<>]*(?:<[^<>]*>[^<>]*)*>$/, '')];
  return { raw, title, parameters, forms: [...new Set(forms.map(canonical))] };
}

/** The last bracket of the outermost level has the parameters; `const` and `&` may follow. */
export function splitParameters(text: string): { name: string; parameters: string[] | null; rest: string } {
  const none = { name: text, parameters: null, rest: '' };
  const end = text.lastIndexOf(')');
  if (end < 0 || !/^(?: const| volatile| ?&{1,2})*$/.test(text.slice(end + 1))) return none;
  let start = end;
  for (let depth = 1; depth > 0;) {
    if (--start < 0) return none;
    depth += text[start] === ')' ? 1 : text[start] === '(' ? -1 : 0;
  }
  if (start === 0) return none;
  return {
    name: text.slice(0, start),
    parameters: listed(text.slice(start + 1, end)),
    rest: text.slice(end + 1),
  };
}

/** Of `int, std::pair<int, int>` two. */
function listed(text: string): string[] {
  if (text === '' || text === 'void') return [];
  const list = [''];
  let depth = 0;
  for (const character of text) {
    if ('(<[{'.includes(character)) depth++;
    else if (')>]}'.includes(character)) depth--;
    if (character === ',' && depth === 0) list.push('');
    else list[list.length - 1] += character;
  }
  return list.map((type) => type.trim());
}

/** Functions made of templates have one before their name: `int larger<int>`. */
function withoutReturnType(name: string): string {
  if (/(?:^|::)operator\b/.test(name)) return name;
  let depth = 0;
  for (let at = name.length - 1; at >= 0; at--) {
    const character = name[at];
    if (character === '>' || character === ')') depth++;
    else if (character === '<' || character === '(') depth--;
    else if (character === ' ' && depth === 0) return name.slice(at + 1);
  }
  return name;
}

/** Without insignificant spaces, and with `const` after its type. */
const canonical = (text: string): string =>
  text
    .trim()
    .replace(/\bconst ([\w:]+)/g, '$1 const')
    .replace(/\s*([^\w\s])\s*/g, '$1')
    .replace(/\s+/g, ' ');
