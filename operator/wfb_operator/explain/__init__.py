"""Why a call was refused, slowed or let through: what was asked about, put together from the books; pure but for printing."""
