"""The money log refuses UPDATE and DELETE."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION funnel_money_is_append_only() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'funnel_moneyentry is append-only: % refused', TG_OP;
END $$;
CREATE TRIGGER funnel_money_append_only
    BEFORE UPDATE OR DELETE ON funnel_moneyentry
    FOR EACH ROW EXECUTE FUNCTION funnel_money_is_append_only();
"""

BACKWARD = """
DROP TRIGGER funnel_money_append_only ON funnel_moneyentry;
DROP FUNCTION funnel_money_is_append_only();
"""


class Migration(migrations.Migration):
    """Add the trigger."""

    dependencies = [("funnel", "0002_payments_whole")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
