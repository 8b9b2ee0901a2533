import Commands

XenolithCommand.start()
