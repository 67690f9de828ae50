"""The event log refuses UPDATE, and DELETE except by the purge of old events."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION sessions_unified_events_are_append_only() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('sessions_unified.purging', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'sessions_unified_sessionevent is append-only: % refused', TG_OP;
END $$;
CREATE TRIGGER sessions_unified_append_only
    BEFORE UPDATE OR DELETE ON sessions_unified_sessionevent
    FOR EACH ROW EXECUTE FUNCTION sessions_unified_events_are_append_only();
"""

BACKWARD = """
DROP TRIGGER sessions_unified_append_only ON sessions_unified_sessionevent;
DROP FUNCTION sessions_unified_events_are_append_only();
"""


class Migration(migrations.Migration):
    """Add the trigger."""

    dependencies = [("sessions_unified", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
