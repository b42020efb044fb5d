// Topics and patterns: what is legal, and what matches what. `proto/vectors/topics.json` has examples.

/** Why a text is no topic or pattern; the words are the same in every language. */
export type NameFault =
  | 'empty'
  | 'too_long'
  | 'too_many_segments'
  | 'trailing_dot'
  | 'empty_segment'
  | 'dollar'
  | 'character'
  | 'wildcard'
  | 'partial_wildcard'
  | 'hash_not_last';

/** Why `text` is no topic; `undefined` when it is one. */
export function topicFault(text: string): NameFault | undefined {
  return fault(text, () => 'wildcard');
}

/** Why `text` is no pattern; `undefined` when it is one. */
export function patternFault(text: string): NameFault | undefined {
  return fault(text, (at) => {
    const next = text[at + 1];
    if ((at > 0 && text[at - 1] !== '.') || (next !== undefined && next !== '.')) return 'partial_wildcard';
    // A single dot after the `#` is the trailing dot, which has a word of its own.
    return text[at] === '#' && text.length > at + 2 ? 'hash_not_last' : undefined;
  });
}

/** Whether a legal topic is one of those that a legal pattern stands for. */
export function matches(pattern: string, topic: string): boolean {
  const wanted = pattern.split('.');
  const found = topic.split('.');
  if (topic.startsWith('$') && /^[+*#]/.test(pattern)) return false;
  for (const [place, segment] of wanted.entries()) {
    if (segment === '#') return true;
    if (segment === '*' && place === wanted.length - 1) return found.length > place;
    const text = found[place];
    if (text === undefined || (segment !== '+' && segment !== '*' && segment !== text)) return false;
  }
  return found.length === wanted.length;
}

const MOST_BYTES = 255;
const MOST_SEGMENTS = 16;

/** The first fault from the left; what a wildcard is, `onWildcard` tells. */
function fault(text: string, onWildcard: (at: number) => NameFault | undefined): NameFault | undefined {
  if (text === '') return 'empty';
  if (new TextEncoder().encode(text).length > MOST_BYTES) return 'too_long';
  let segments = 1;
  for (let at = 0; at < text.length; at++) {
    const letter = text[at] ?? '';
    if (letter === '.') {
      if (at === 0 || text[at - 1] === '.') return 'empty_segment';
      if (at === text.length - 1) return 'trailing_dot';
      if (++segments > MOST_SEGMENTS) return 'too_many_segments';
    } else if (letter === '$') {
      if (at > 0 || text.length === 1 || text[1] === '.') return 'dollar';
    } else if ('+*#'.includes(letter)) {
      const wrong = onWildcard(at);
      if (wrong !== undefined) return wrong;
    } else if (!/[A-Za-z0-9_-]/.test(letter)) {
      return 'character';
    }
  }
  return undefined;
}
