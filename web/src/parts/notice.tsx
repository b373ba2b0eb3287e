import NotificationPanel, { type NotificationPanelVariants } from '@helsenorge/designsystem-react/components/NotificationPanel';
import type { ReactNode } from 'react';

interface NoticeProps {
  variant?: NotificationPanelVariants;
  title?: string;
  role?: 'alert' | 'status';
  children: ReactNode;
}

/** Something to know about the page, at its place. */
export function Notice({ variant = 'info', title, role = 'status', children }: NoticeProps) {
  return (
    <div className="notice">
      <NotificationPanel variant={variant} fluid role={role} {...(title ? { label: title, labelHtmlMarkup: 'h2' as const } : { compactVariant: 'outline' as const })}>
        {children}
      </NotificationPanel>
    </div>
  );
}
