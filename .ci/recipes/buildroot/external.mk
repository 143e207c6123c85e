include $(sort $(wildcard $(BR2_EXTERNAL_AUTOCHROOT_PATH)/package/*/*.mk))
