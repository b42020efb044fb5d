// What has to be known of outlines besides how they are drawn.

export type Point = readonly [x: number, y: number];

/** The rings of a path as `map/make.mjs` writes it: `Mx,yl` and relative steps. */
export function rings(path: string): Point[][] {
  return path
    .split('M')
    .slice(1)
    .map((part) => {
      const [start = '', steps = ''] = part.replace('z', '').split('l');
      let [x = 0, y = 0] = start.split(',').map(Number);
      const points: Point[] = [[x, y]];
      const numbers = steps.match(/-?\d+/g)?.map(Number) ?? [];
      for (let index = 0; index + 1 < numbers.length; index += 2) {
        [x, y] = [x + (numbers[index] ?? 0), y + (numbers[index + 1] ?? 0)];
        points.push([x, y]);
      }
      return points;
    });
}

/** The smallest rectangle around paths. */
export function bounds(paths: readonly string[]): { left: number; top: number; right: number; bottom: number } {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of paths.flatMap((path) => rings(path).flat())) {
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
  }
  return { left, top, right, bottom };
}

/**
 * Where a name stands best: the point of a grid that is farthest from every border and from other names, sideways counted
 * half. Of the border's points one in four is looked at, which is near enough.
 */
export function middle(path: string, others: readonly Point[] = []): Point {
  const all = rings(path);
  const { left, top, right, bottom } = bounds([path]);
  const near = [...all.flatMap((ring) => ring.filter((_, index) => index % 4 === 0)), ...others];
  let best: { at: Point; room: number } = { at: [(left + right) / 2, (top + bottom) / 2], room: -1 };
  for (let row = 1; row < GRID; row++) {
    for (let column = 1; column < GRID; column++) {
      const at: Point = [left + ((right - left) * column) / GRID, top + ((bottom - top) * row) / GRID];
      const room = near.reduce((least, other) => Math.min(least, distance(at, other)), Infinity);
      if (room > best.room && within(at, all)) best = { at, room };
    }
  }
  return best.at;
}

function within([x, y]: Point, all: readonly Point[][]): boolean {
  let inside = false;
  for (const ring of all) {
    ring.forEach(([x1, y1], index) => {
      const [x2, y2] = ring[(index + 1) % ring.length] ?? [x1, y1];
      if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
    });
  }
  return inside;
}

/** Names are wide and low. */
const distance = ([x, y]: Point, [otherX, otherY]: Point): number => Math.hypot((x - otherX) / 2, y - otherY);

const GRID = 20;
