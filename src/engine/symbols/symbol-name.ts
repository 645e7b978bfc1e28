/** Which texts are names of symbols. Pure. */

/** What is left of a name without its parameters and template arguments. */
const NAME = /^(?:[A-Za-z_.$~][\w.$@~]*)(?:::[\w.$@~]+)*$/;

/** `insert`, `shop::Counter::add`, `larger<int>(int, int)`, `Item::operator+`, `<str as Display>::fmt`. */
export function isSymbolName(text: string): boolean {
  if (text.length > 4096 || text !== text.trim() || /\p{Cc}/u.test(text)) return false;
  if (/(?:^|::)operator\W/.test(text)) return true;
  const bare = withoutNested(text.replaceAll('(anonymous namespace)', '_anonymous'));
  if (bare === null) return false;
  const name = bare.replace(/(?: const| volatile|&)*$/, '').replace(/^::/, '_::');
  return NAME.test(name);
}

/** Without what is in brackets, which must match; null where they do not. */
function withoutNested(text: string): string | null {
  const open: string[] = [];
  let rest = '';
  for (const character of text) {
    if (character === '(' || character === '<' || character === '{' || character === '[') {
      if (open.length === 0 && (rest === '' || rest.endsWith('::'))) rest += '_';
      open.push(character);
    } else if (character === ')' || character === '>' || character === '}' || character === ']') {
      if (open.pop() !== OPENING[character]) return null;
    } else if (open.length === 0) rest += character;
  }
  return open.length === 0 ? rest : null;
}

const OPENING: Readonly<Record<string, string>> = { ')': '(', '>': '<', '}': '{', ']': '[' };
