import type { ReactNode } from 'react';

/** Norway's mainland in degrees; the drawing keeps to it. */
const WEST = 4;
const EAST = 32;
const SOUTH = 57.5;
const NORTH = 71.5;
/** A few points of the coast and the border, enough to see where north and south are. */
const OUTLINE = [
  [5.0, 58.9], [7.0, 58.0], [10.6, 59.0], [11.2, 59.1], [12.2, 61.0], [12.1, 63.6], [14.0, 64.5], [16.0, 67.0], [20.0, 69.0],
  [25.5, 68.9], [29.0, 69.0], [31.0, 70.3], [25.8, 71.1], [19.0, 69.9], [14.5, 68.4], [12.5, 66.0], [10.0, 64.2], [6.2, 62.5], [4.9, 61.8],
] as const;

/** Where a longitude is in the drawing. A degree of longitude is about half as wide as one of latitude here. */
export const across = (longitude: number) => ((longitude - WEST) / (EAST - WEST)) * 140;
/** Where a latitude is in the drawing. */
export const down = (latitude: number) => ((NORTH - latitude) / (NORTH - SOUTH)) * 160;

/** The country in a few strokes, with what is to be seen on it. What it says stands in words too, beside it. */
export function Outline({ label, className, children }: { label: string; className: string; children: ReactNode }) {
  return (
    <svg className={className} viewBox="0 0 140 160" role="img" aria-label={label}>
      <polygon className="party-map__land" points={OUTLINE.map(([lon, lat]) => `${across(lon)},${down(lat)}`).join(' ')} />
      {children}
    </svg>
  );
}
