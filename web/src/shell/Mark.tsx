/** Our mark: a hub and three spokes. */
export function Mark() {
  return (
    <svg className="brand__mark" viewBox="0 0 32 32" width="32" height="32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="9" fill="currentColor" />
      <path d="M16 16 8.5 9M16 16l8-6.5M16 16v9.5" fill="none" stroke="#fff" strokeWidth="2.5" strokeLinecap="round" />
      <g fill="#fff">
        <circle cx="16" cy="16" r="4.25" />
        <circle cx="8.25" cy="8.75" r="2.75" />
        <circle cx="24.25" cy="9.25" r="2.75" />
        <circle cx="16" cy="26" r="2.75" />
      </g>
    </svg>
  );
}
