"""The `nmi` gateway: Direct Post and the Customer Vault, over HTTPS."""

from funnel.payments.nmi.gateway import NmiGateway

__all__ = ["NmiGateway"]
